"""What signing costs: ours, into the store, beside a loop that does nothing but sign."""
