"""What a CA of any size takes: imported, signed, published, and looked up beside a small one."""
