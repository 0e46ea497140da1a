"""Tokenizers: functions `(texts, *, …) -> Preparation`, from raw texts to token ids."""
