-- Calls of which only the called side is here: servers and consumers whose parent is not, with an attribute that names the caller.
SELECT if(kind=5,PEER,named['peer.service']) AS caller, toString(service) AS callee, if(kind=5,'message','call') AS word, sum(n), sum(errors)
FROM (SELECT service, kind, CAST((keys,values),'Map(String,String)') AS named, uniqExact(id) AS n, uniqExactIf(id,status=2) AS errors
 FROM (SELECT cityHash64(trace_id,span_id) AS id, service, kind, status, KEYS_AND_VALUES
  FROM spans WHERE H(NS({from_ns:Int64}),NS({to_ns:Int64})) AND kind IN (2,5) AND (kind=5 OR mapContains(attrs,'peer.service'))
   AND cityHash64(trace_id,parent_id) NOT IN (SELECT cityHash64(trace_id,span_id) FROM spans WHERE H(NS({above_ns:Int64}),NS({above_to_ns:Int64})))
   AND NOT_SHARED AND NOT_LINKED)
 WHERE notEmpty(keys) GROUP BY service, kind, keys, values)
WHERE caller!='' GROUP BY caller, callee, word
