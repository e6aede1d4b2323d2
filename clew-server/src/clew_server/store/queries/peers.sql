-- Names of the other sides of a service's calls, as its own spans name them.
SELECT DISTINCT if(kind=2,named['peer.service'],PEER) AS peer
FROM (SELECT kind, CAST((keys,values),'Map(String,String)') AS named
 FROM (SELECT DISTINCT kind, KEYS_AND_VALUES FROM spans WHERE H(NS({from_ns:Int64}),NS({to_ns:Int64})) AND service=unhex({service:String}) AND kind>=2))
WHERE peer!='' ORDER BY peer LIMIT {limit:UInt64}
