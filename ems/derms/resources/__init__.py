"""The resources, a module per function set: what each path answers.

Each module has `ROUTES`; a handler takes a request and the board, and gives an answer.
"""
