"""The embedded Postgres server, and the program that ends it when its owner ends."""
