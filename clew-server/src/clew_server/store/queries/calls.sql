-- Calls of which both sides are here, by the caller's start. The called span is a server or a consumer; where a service has none below
-- the caller, its other spans there are one call together. A span that came twice has one id and counts once. The last column: is one
-- of those others among them?
SELECT toString(above.service) AS caller, toString(below.service) AS callee, if(above.kind=4 OR below.kind=5,'message','call') AS word,
 uniqExact(below.call) AS calls, uniqExactIf(below.call,below.status=2 OR (above.kind IN (3,4) AND above.status=2)) AS failed,
 max(below.kind NOT IN (2,5))
FROM (SELECT cityHash64(trace_id,span_id) AS id, service, kind, status FROM spans WHERE H(NS({from_ns:Int64}),NS({to_ns:Int64}))) AS above
INNER JOIN (SELECT PARENT AS parent, service, kind, status, if(kind IN (2,5),cityHash64(trace_id,span_id),cityHash64(parent,service)) AS call
 FROM spans WHERE H(NS({below_ns:Int64}),NS({below_to_ns:Int64})) AND HAS_PARENT AND (kind IN (2,5)
  OR (MAY_CROSS
   AND cityHash64(parent,service) NOT IN (SELECT cityHash64(PARENT,service) FROM spans
    WHERE H(NS({below_ns:Int64}),NS({below_to_ns:Int64})) AND kind IN (2,5) AND HAS_PARENT)))) AS below ON above.id=below.parent
WHERE (above.service!=below.service OR (above.kind=3 AND below.kind=2) OR (above.kind=4 AND below.kind=5)) AND OF_CLIENT
GROUP BY caller, callee, word
