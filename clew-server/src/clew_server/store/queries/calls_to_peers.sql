-- Calls of which only the caller is here: clients and producers that nothing hangs on but spans of their own service that call nobody.
SELECT toString(service) AS caller, callee, word, uniqExact(id) AS calls, uniqExactIf(id,status=2) AS failed
FROM (SELECT cityHash64(trace_id,span_id) AS id, service, status, PEER AS callee, multiIf(kind=4,'message',IS_DATABASE,'database','call') AS word
 FROM spans WHERE H(NS({from_ns:Int64}),NS({to_ns:Int64})) AND kind IN (3,4)
  AND cityHash64(trace_id,span_id) NOT IN (SELECT ANSWERED FROM spans WHERE H(NS({below_ns:Int64}),NS({below_to_ns:Int64})) AND kind>=2)
  AND cityHash64(trace_id,span_id) NOT IN (SELECT below.parent
   FROM (SELECT cityHash64(trace_id,parent_id) AS parent, service FROM spans WHERE H(NS({below_ns:Int64}),NS({below_to_ns:Int64})) AND kind<2) AS below
   INNER JOIN (SELECT cityHash64(trace_id,span_id) AS id, service FROM spans WHERE H(NS({from_ns:Int64}),NS({to_ns:Int64})) AND kind IN (3,4)) AS above
   ON below.parent=above.id WHERE above.service!=below.service)
  AND NOT_LINKED)
WHERE callee!='' GROUP BY caller, callee, word
