-- The tables of the statement `chunks` that hold the segment.
SELECT 'chunks' FROM (SELECT 1 FROM chunks WHERE proof={proof:UInt64} LIMIT 1)
UNION ALL SELECT 'origins' FROM (SELECT 1 FROM origins WHERE has(proofs,{proof:UInt64}) LIMIT 1)
