"""What is done about accounts that send what nobody wants."""
