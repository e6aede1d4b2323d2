-- Of the listed traces those in which a span came more than once, in different requests, and how many there really are.
-- One span: the same bytes, resource and scope.
SELECT lower(hex(trace_id)), count() AS n, uniqExact(z) AS u
FROM (SELECT trace_id, arrayJoin(arrayMap((a,b,c)->sipHash128(a,b,c),res,scope,raw)) AS z FROM chunks WHERE trace_id IN IDS)
GROUP BY trace_id HAVING n>u
