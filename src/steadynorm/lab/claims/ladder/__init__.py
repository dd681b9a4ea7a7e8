"""The ladder: six ways to train one network, from a plain one to batch norm at thirty times its rate."""
