-- Of the listed traces those in which a span came more than once, in different requests, and how many there really are.
SELECT lower(hex(trace_id)), count() AS n, uniqExact(z) AS u
FROM (SELECT trace_id, arrayJoin(arrayMap((a,b,c)->cityHash64(a,b,c),res,scope,raw)) AS z FROM chunks WHERE trace_id IN (SELECT arrayJoin(arrayMap(x->toFixedString(unhex(x),16),{ids:Array(String)}))))
GROUP BY trace_id HAVING n>u
