"""The embedded stack of Petit Bleu: four backends from wheels, every service, one supervisor."""
