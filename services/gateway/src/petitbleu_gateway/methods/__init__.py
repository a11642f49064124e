"""The JMAP methods: use cases on store, one module a data type or a verb."""
