"""The jobs that look after what is kept, each carried out whole: on real repositories and a real ledger, without a server."""
