-- What each account's junk and wanted mail are made of, learnt from what its owner says of messages (petitbleu_store.domain.words).
--
-- words: whether the account's model has learnt enough to say anything. It stands in the row that filing reads anyway, so that an account without
-- a model costs nothing.
ALTER TABLE account ADD COLUMN words boolean NOT NULL DEFAULT false;

-- One row an account that ever called something junk. `sealed`: the model, under the account's key; words in it are keyed hashes besides.
-- `learnt_modseq`: how far the account's change log was looked at; `version` rises with each lesson, so that of two processes one learns.
CREATE TABLE word_model (
    partition smallint NOT NULL,
    account_id bigint NOT NULL,
    learnt_modseq bigint NOT NULL,
    version bigint NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (partition, account_id)
);
ALTER TABLE word_model ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- What a message was learnt as (petitbleu_store.domain.words.Class), so that who thinks better of it unlearns that.
CREATE TABLE word_lesson (
    partition smallint NOT NULL,
    class smallint NOT NULL,
    account_id bigint NOT NULL,
    message_id bigint NOT NULL,
    PRIMARY KEY (partition, account_id, message_id)
);
