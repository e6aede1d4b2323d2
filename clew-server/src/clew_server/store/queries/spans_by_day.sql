-- Spans of each arrival day (YYYYMMDD), as one table counts them.
SELECT _partition_id AS p, HOW_MANY FROM TABLE_NAME GROUP BY p
