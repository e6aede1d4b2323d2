-- Names of the attributes of resources.
SELECT DISTINCT arrayJoin(mapKeys(attrs)) AS k FROM resources ORDER BY k LIMIT {limit:UInt64}
