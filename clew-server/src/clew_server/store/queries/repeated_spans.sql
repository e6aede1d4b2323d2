-- Of the listed traces those in which a span came more than once, in different requests, and how many there really are.
-- One span: the same bytes, resource and scope. Fragments, known by their attribute's key, are none.
SELECT lower(hex(trace_id)), count() AS n, uniqExact(z) AS u
FROM (SELECT trace_id, arrayJoin(arrayMap((a,b,c)->if(OF_FRAGMENT(c),NULL,sipHash128(a,b,c)),res,scope,raw)) AS z FROM chunks WHERE trace_id IN IDS)
WHERE z IS NOT NULL GROUP BY trace_id HAVING n>u
