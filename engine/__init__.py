"""What happens. Nothing here opens a socket or imports a transport."""
