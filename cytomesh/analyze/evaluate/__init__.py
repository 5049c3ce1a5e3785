"""One protocol and one table for encoders: what a lab runs before it chooses one."""
