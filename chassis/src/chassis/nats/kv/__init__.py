"""Key-value buckets with a TTL per key, and the lease kept in one."""
