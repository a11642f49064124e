"""ManageSieve (RFC 5804): the scripts of a mailbox for clients that know no JMAP."""
