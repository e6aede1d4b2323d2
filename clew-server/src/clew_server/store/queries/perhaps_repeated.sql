-- Of the listed traces those in which a span may have come more than once: two hashes are equal. Reads a hundredth of their bytes.
SELECT lower(hex(trace_id)) FROM (SELECT trace_id, arrayJoin(arrayFilter(x->x!=0,span_hashes)) AS z FROM chunks WHERE trace_id IN IDS)
GROUP BY trace_id HAVING count()>uniqExact(z)
