"""The ground floor: values, tables and decisions. Nothing here waits, reads a clock or touches the world."""
