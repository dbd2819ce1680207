"""What an account is; knows nothing of sockets."""
