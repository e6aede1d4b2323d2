-- Calls of which only the called side is here: servers and consumers whose parent is not, with an attribute that names the caller.
SELECT caller, toString(service) AS callee, if(kind=5,'message','call') AS word, uniqExact(id) AS calls, uniqExactIf(id,status=2) AS failed
FROM (SELECT cityHash64(trace_id,span_id) AS id, service, kind, status, if(kind=5,PEER,attrs['peer.service']) AS caller
 FROM spans WHERE H(NS({from_ns:Int64}),NS({to_ns:Int64})) AND kind IN (2,5) AND (kind=5 OR mapContains(attrs,'peer.service'))
  AND cityHash64(trace_id,parent_id) NOT IN (SELECT cityHash64(trace_id,span_id) FROM spans WHERE H(NS({above_ns:Int64}),NS({above_to_ns:Int64})))
  AND NOT_SHARED AND NOT_LINKED)
WHERE caller!='' GROUP BY caller, callee, word
