-- The tables of the statement `search` that hold the segment.
SELECT 'spans' FROM (SELECT 1 FROM spans WHERE proof={proof:UInt64} LIMIT 1)
UNION ALL SELECT 'resources' FROM (SELECT 1 FROM resources WHERE has(proofs,{proof:UInt64}) LIMIT 1)
UNION ALL SELECT 'traces' FROM (SELECT 1 FROM traces WHERE has(proofs,{proof:UInt64}) LIMIT 1)
UNION ALL SELECT 'red' FROM (SELECT 1 FROM red WHERE has(proofs,{proof:UInt64}) LIMIT 1)
