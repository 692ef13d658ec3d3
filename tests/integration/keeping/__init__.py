"""What looks after a repository, carried out whole: jobs, rotations and examinations, with a real ledger and without a server."""
