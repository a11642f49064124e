-- Filter rules as a form has them (ADR 46): in JSON, sealed as scripts are, beside the script that is made of them. The script is as it was
-- made while its content has this number.
ALTER TABLE script_book ADD COLUMN form_sealed bytea;
ALTER TABLE script_book ADD COLUMN form_script_id bigint NOT NULL DEFAULT 0;
ALTER TABLE script_book ADD COLUMN form_content_id bigint NOT NULL DEFAULT 0;
