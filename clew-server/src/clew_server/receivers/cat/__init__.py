"""What CAT's clients send to its servers, into OTLP. No I/O.

- `frames.py`: frames over TCP; `native.py`, `plain.py`: the codecs NT1 and PT1, into the tree of `tree.py`
- `meaning.py`: what types mean: kinds, standard names; `spans.py`: a tree written as spans
- `decoder.py`, `specs.py`, `router.py`: a message by its codec, the listeners, what clients ask before they send

Where each field goes: docs/receivers/cat.md.
"""
