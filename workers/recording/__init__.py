"""What recording a message does besides its row: the run that it announces, and what a seek reopens."""
