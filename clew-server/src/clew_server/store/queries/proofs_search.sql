-- The tables of the statement `search` that hold the segment.
SELECT 'spans' FROM (SELECT 1 FROM spans WHERE proof={proof:UInt64} LIMIT 1)
UNION ALL SELECT 'resources' FROM (SELECT 1 FROM resources WHERE has(proofs,{proof:UInt64}) LIMIT 1)
UNION ALL SELECT 'traces' FROM (SELECT 1 FROM traces WHERE has(proofs,{proof:UInt64}) LIMIT 1)
UNION ALL SELECT 'red' FROM (SELECT 1 FROM red WHERE has(proofs,{proof:UInt64}) LIMIT 1)
UNION ALL SELECT 'red_svc' FROM (SELECT 1 FROM red_svc WHERE has(proofs,{proof:UInt64}) LIMIT 1)
UNION ALL SELECT 'red_hour' FROM (SELECT 1 FROM red_hour WHERE has(proofs,{proof:UInt64}) LIMIT 1)
UNION ALL SELECT 'red_svc_hour' FROM (SELECT 1 FROM red_svc_hour WHERE has(proofs,{proof:UInt64}) LIMIT 1)
UNION ALL SELECT 'operations' FROM (SELECT 1 FROM operations WHERE has(proofs,{proof:UInt64}) LIMIT 1)
