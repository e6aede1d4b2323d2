-- Names of operations of all services.
SELECT DISTINCT toString(name) AS one FROM red WHERE red.n>0 ORDER BY one LIMIT {limit:UInt64}
