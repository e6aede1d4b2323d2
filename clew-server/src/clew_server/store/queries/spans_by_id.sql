-- The different spans of these ids, each a trace's and a span's, 24 bytes in hex.
SELECT DISTINCT x.1, x.2, x.3
FROM (SELECT arrayJoin(arrayMap((a,b,c)->(a,b,c),res,scope,raw)) AS x FROM chunks WHERE trace_id IN IDS)
WHERE NOT OF_FRAGMENT(x.3) AND concat(substring(x.3,3,16),substring(x.3,21,8)) IN (SELECT arrayJoin(arrayMap(i->unhex(i),{spans:Array(String)}))) LIMIT {limit:UInt64}
