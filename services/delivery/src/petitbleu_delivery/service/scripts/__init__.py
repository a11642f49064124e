"""The rules of mailboxes: kept, evaluated, carried out."""
