-- When an account's limit changed: JMAP clients that keep a Quota are told what changed of it (RFC 9425 §4.2).
--
-- limit_modseq: at the last change of quota_octets; limited_modseq: when there came to be a limit where there was none. 0: never since
-- the account was made. Written with a change of the limit only, so filing pays nothing.
ALTER TABLE account ADD COLUMN limit_modseq bigint NOT NULL DEFAULT 0, ADD COLUMN limited_modseq bigint NOT NULL DEFAULT 0;
