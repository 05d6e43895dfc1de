"""What genes predict of patients left out."""
