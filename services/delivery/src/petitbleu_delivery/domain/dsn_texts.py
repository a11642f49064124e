"""What a delivery status notification says to a person, in the languages that we have."""

from __future__ import annotations

from typing import Final, NamedTuple


class Texts(NamedTuple):
    """The sentences of a language. `subjects` and `intros` are by action (RFC 3464 §2.3.3), `reasons` by our own names.

    Placeholders: `{subject}` the subject of the message, `{until}` an instant, `{host}` and `{text}` a server and its answer.
    """

    sender: str
    subjects: dict[str, str]
    about: str
    intros: dict[str, str]
    reasons: dict[str, str]
    said: str
    until: str
    untried: str
    complained: str
    closing: str


FALLBACK: Final = "en"

TEXTS: Final[dict[str, Texts]] = {
    "en": Texts(
        "Mail delivery",
        {
            "failed": "Your message was not delivered",
            "delayed": "Your message is delayed",
            "delivered": "Your message was delivered",
            "relayed": "Your message was passed on",
        },
        "Your message: {subject}",
        {
            "failed": "Your message could not be delivered to:",
            "delayed": "Your message has not been delivered yet to:",
            "delivered": "Your message was delivered to:",
            "relayed": "Your message was taken by a mail server that sends no confirmation of delivery, for:",
        },
        {
            "unknown": "This address does not exist there. Check how it is spelled.",
            "domain": "This domain does not exist, or takes no mail. Check how the address is spelled.",
            "disabled": "This mailbox takes no mail at present.",
            "full": "The recipient's mailbox is full.",
            "large": "The message is too large for the recipient.",
            "format": "The recipient's server cannot take a message of this form.",
            "policy": "The recipient's server refuses the message by its rules.",
            "expired": "The message could not be handed over in all the time that we tried.",
            "unreachable": "The recipient's server cannot be reached.",
            "loop": "The message goes round in circles.",
            "other": "The recipient's server did not take the message.",
        },
        "{host} answered: {text}",
        "We keep trying until {until}. You need not send it again.",
        "The server of the address said so lately. We try to write to it again after {until}.",
        "Who has this address called earlier mail of yours unwanted. Nothing of yours is sent there until {until}.",
        "This is an automatic message. An answer to it is read by nobody.",
    ),
    "fr": Texts(
        "Service de messagerie",
        {
            "failed": "Votre message n'a pas été remis",
            "delayed": "Votre message est retardé",
            "delivered": "Votre message a été remis",
            "relayed": "Votre message a été transmis",
        },
        "Votre message : {subject}",
        {
            "failed": "Votre message n'a pas pu être remis à :",
            "delayed": "Votre message n'a pas encore été remis à :",
            "delivered": "Votre message a été remis à :",
            "relayed": "Votre message a été pris en charge par un serveur qui n'envoie pas de confirmation de remise, pour :",
        },
        {
            "unknown": "Cette adresse n'existe pas. Vérifiez comment elle s'écrit.",
            "domain": "Ce domaine n'existe pas ou ne reçoit pas de courrier. Vérifiez comment l'adresse s'écrit.",
            "disabled": "Cette boîte ne reçoit pas de courrier en ce moment.",
            "full": "La boîte du destinataire est pleine.",
            "large": "Le message est trop volumineux pour le destinataire.",
            "format": "Le serveur du destinataire ne peut pas recevoir un message de cette forme.",
            "policy": "Le serveur du destinataire refuse le message selon ses règles.",
            "expired": "Le message n'a pu être remis malgré nos essais pendant tout le délai.",
            "unreachable": "Le serveur du destinataire est injoignable.",
            "loop": "Le message tourne en rond.",
            "other": "Le serveur du destinataire n'a pas accepté le message.",
        },
        "{host} a répondu : {text}",
        "Nous essayons encore jusqu'au {until}. Il est inutile de le renvoyer.",
        "Le serveur de cette adresse l'a dit récemment. Nous réessaierons d'y écrire après le {until}.",
        "Cette personne a signalé un de vos messages comme indésirable. Rien de vous ne lui est envoyé avant le {until}.",
        "Ceci est un message automatique. Personne ne lit une réponse.",
    ),
    "de": Texts(
        "Mailzustellung",
        {
            "failed": "Ihre Nachricht wurde nicht zugestellt",
            "delayed": "Ihre Nachricht verzögert sich",
            "delivered": "Ihre Nachricht wurde zugestellt",
            "relayed": "Ihre Nachricht wurde weitergegeben",
        },
        "Ihre Nachricht: {subject}",
        {
            "failed": "Ihre Nachricht konnte nicht zugestellt werden an:",
            "delayed": "Ihre Nachricht wurde noch nicht zugestellt an:",
            "delivered": "Ihre Nachricht wurde zugestellt an:",
            "relayed": "Ihre Nachricht hat ein Server angenommen, der keine Zustellung bestätigt, für:",
        },
        {
            "unknown": "Diese Adresse gibt es dort nicht. Prüfen Sie die Schreibweise.",
            "domain": "Diese Domain gibt es nicht, oder sie nimmt keine Mail an. Prüfen Sie die Schreibweise der Adresse.",
            "disabled": "Dieses Postfach nimmt zurzeit keine Mail an.",
            "full": "Das Postfach des Empfängers ist voll.",
            "large": "Die Nachricht ist für den Empfänger zu groß.",
            "format": "Der Server des Empfängers kann eine Nachricht dieser Form nicht annehmen.",
            "policy": "Der Server des Empfängers weist die Nachricht nach seinen Regeln ab.",
            "expired": "Die Nachricht konnte in der ganzen Zeit unserer Versuche nicht übergeben werden.",
            "unreachable": "Der Server des Empfängers ist nicht erreichbar.",
            "loop": "Die Nachricht dreht sich im Kreis.",
            "other": "Der Server des Empfängers hat die Nachricht nicht angenommen.",
        },
        "{host} antwortete: {text}",
        "Wir versuchen es weiter bis {until}. Sie brauchen sie nicht noch einmal zu senden.",
        "Der Server der Adresse hat das vor Kurzem gesagt. Nach {until} versuchen wir es dort wieder.",
        "Wer diese Adresse hat, hat frühere Post von Ihnen als unerwünscht gemeldet. Bis {until} geht nichts von Ihnen dorthin.",
        "Dies ist eine automatische Nachricht. Eine Antwort darauf liest niemand.",
    ),
    "es": Texts(
        "Servicio de correo",
        {
            "failed": "Su mensaje no se ha entregado",
            "delayed": "Su mensaje se retrasa",
            "delivered": "Su mensaje se ha entregado",
            "relayed": "Su mensaje se ha transmitido",
        },
        "Su mensaje: {subject}",
        {
            "failed": "Su mensaje no se ha podido entregar a:",
            "delayed": "Su mensaje todavía no se ha entregado a:",
            "delivered": "Su mensaje se ha entregado a:",
            "relayed": "Su mensaje lo ha recibido un servidor que no confirma la entrega, para:",
        },
        {
            "unknown": "Esta dirección no existe. Compruebe cómo se escribe.",
            "domain": "Este dominio no existe o no recibe correo. Compruebe cómo se escribe la dirección.",
            "disabled": "Este buzón no recibe correo por ahora.",
            "full": "El buzón del destinatario está lleno.",
            "large": "El mensaje es demasiado grande para el destinatario.",
            "format": "El servidor del destinatario no puede recibir un mensaje de esta forma.",
            "policy": "El servidor del destinatario rechaza el mensaje según sus reglas.",
            "expired": "El mensaje no se ha podido entregar en todo el tiempo en que lo intentamos.",
            "unreachable": "No se puede conectar con el servidor del destinatario.",
            "loop": "El mensaje da vueltas en círculo.",
            "other": "El servidor del destinatario no ha aceptado el mensaje.",
        },
        "{host} respondió: {text}",
        "Seguimos intentándolo hasta el {until}. No hace falta que lo envíe otra vez.",
        "El servidor de la dirección lo dijo hace poco. Volveremos a intentarlo después del {until}.",
        "Esta persona señaló un mensaje suyo como no deseado. No se le envía nada de usted hasta el {until}.",
        "Este es un mensaje automático. Nadie lee las respuestas.",
    ),
    "it": Texts(
        "Servizio di posta",
        {
            "failed": "Il suo messaggio non è stato consegnato",
            "delayed": "Il suo messaggio è in ritardo",
            "delivered": "Il suo messaggio è stato consegnato",
            "relayed": "Il suo messaggio è stato inoltrato",
        },
        "Il suo messaggio: {subject}",
        {
            "failed": "Non è stato possibile consegnare il suo messaggio a:",
            "delayed": "Il suo messaggio non è ancora stato consegnato a:",
            "delivered": "Il suo messaggio è stato consegnato a:",
            "relayed": "Il suo messaggio è stato preso da un server che non conferma la consegna, per:",
        },
        {
            "unknown": "Questo indirizzo non esiste. Controlli come è scritto.",
            "domain": "Questo dominio non esiste o non riceve posta. Controlli come è scritto l'indirizzo.",
            "disabled": "Questa casella per ora non riceve posta.",
            "full": "La casella del destinatario è piena.",
            "large": "Il messaggio è troppo grande per il destinatario.",
            "format": "Il server del destinatario non può ricevere un messaggio di questa forma.",
            "policy": "Il server del destinatario rifiuta il messaggio secondo le sue regole.",
            "expired": "Non è stato possibile consegnare il messaggio in tutto il tempo dei nostri tentativi.",
            "unreachable": "Il server del destinatario non è raggiungibile.",
            "loop": "Il messaggio gira in tondo.",
            "other": "Il server del destinatario non ha accettato il messaggio.",
        },
        "{host} ha risposto: {text}",
        "Continuiamo a provare fino al {until}. Non occorre inviarlo di nuovo.",
        "Il server dell'indirizzo lo ha detto di recente. Riproveremo a scrivergli dopo il {until}.",
        "Questa persona ha segnalato un suo messaggio come indesiderato. Fino al {until} non le viene inviato nulla da lei.",
        "Questo è un messaggio automatico. Nessuno legge le risposte.",
    ),
    "pt": Texts(
        "Serviço de correio",
        {
            "failed": "A sua mensagem não foi entregue",
            "delayed": "A sua mensagem está atrasada",
            "delivered": "A sua mensagem foi entregue",
            "relayed": "A sua mensagem foi transmitida",
        },
        "A sua mensagem: {subject}",
        {
            "failed": "Não foi possível entregar a sua mensagem a:",
            "delayed": "A sua mensagem ainda não foi entregue a:",
            "delivered": "A sua mensagem foi entregue a:",
            "relayed": "A sua mensagem foi recebida por um servidor que não confirma a entrega, para:",
        },
        {
            "unknown": "Este endereço não existe. Verifique como se escreve.",
            "domain": "Este domínio não existe ou não recebe correio. Verifique como se escreve o endereço.",
            "disabled": "Esta caixa não recebe correio neste momento.",
            "full": "A caixa do destinatário está cheia.",
            "large": "A mensagem é demasiado grande para o destinatário.",
            "format": "O servidor do destinatário não pode receber uma mensagem desta forma.",
            "policy": "O servidor do destinatário recusa a mensagem pelas suas regras.",
            "expired": "Não foi possível entregar a mensagem em todo o tempo em que tentámos.",
            "unreachable": "Não é possível contactar o servidor do destinatário.",
            "loop": "A mensagem anda em círculos.",
            "other": "O servidor do destinatário não aceitou a mensagem.",
        },
        "{host} respondeu: {text}",
        "Continuamos a tentar até {until}. Não é preciso enviá-la outra vez.",
        "O servidor do endereço disse-o há pouco. Voltaremos a tentar depois de {until}.",
        "Esta pessoa assinalou uma mensagem sua como indesejada. Até {until} nada seu lhe é enviado.",
        "Esta é uma mensagem automática. Ninguém lê as respostas.",
    ),
}  # fmt: skip

# By subject and detail of the enhanced status code (RFC 3463 §3).
_REASONS: Final = {
    "1.0": "unknown", "1.1": "unknown", "1.6": "unknown", "1.2": "domain", "1.10": "domain", "2.1": "disabled",
    "2.2": "full", "2.3": "large", "3.4": "large", "4.1": "unreachable", "4.2": "unreachable", "4.3": "unreachable",
    "4.4": "unreachable", "4.6": "loop", "4.7": "expired",
}  # fmt: skip
_BY_SUBJECT: Final = {"6": "format", "7": "policy"}


def texts_of(language: str) -> Texts:
    """Return the texts of a language (BCP 47; what stands behind the first hyphen is of no account), English where we have none."""
    return TEXTS.get(language.partition("-")[0].lower(), TEXTS[FALLBACK])


def reason_of(enhanced: str) -> str:
    """Return the name of the reason that an enhanced status code gives."""
    _, _, rest = enhanced.partition(".")
    return _REASONS.get(rest) or _BY_SUBJECT.get(rest.partition(".")[0], "other")
