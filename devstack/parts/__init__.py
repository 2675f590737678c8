"""What each part of the stack is: its configuration, how it is started, and how it shows that it answers."""
