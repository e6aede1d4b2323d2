-- Calls of which only the caller is here: clients and producers that nothing hangs on but spans of their own service that call nobody.
-- Grouped by the attributes that name a peer first, so that the name is looked for once a group.
SELECT toString(service) AS caller, PEER AS callee, multiIf(kind=4,'message',IS_DATABASE,'database','call') AS word, sum(n), sum(errors)
FROM (SELECT service, kind, CAST((keys,values),'Map(String,String)') AS named, uniqExact(id) AS n, uniqExactIf(id,status=2) AS errors
 FROM (SELECT cityHash64(trace_id,span_id) AS id, service, kind, status, KEYS_AND_VALUES
  FROM spans WHERE H(NS({from_ns:Int64}),NS({to_ns:Int64})) AND kind IN (3,4)
   AND cityHash64(trace_id,span_id) NOT IN (SELECT ANSWERED FROM spans WHERE H(NS({below_ns:Int64}),NS({below_to_ns:Int64})) AND kind>=2)
   AND NOT_CROSSED AND NOT_LINKED)
 WHERE notEmpty(keys) GROUP BY service, kind, keys, values)
GROUP BY caller, callee, word
