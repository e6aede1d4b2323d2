-- What there is to look for: servers that name their caller, consumers, consumers with links.
SELECT max(kind=2 AND mapContains(attrs,'peer.service')), max(kind=5), max(kind=5 AND notEmpty(link_traces))
FROM spans WHERE H(NS({below_ns:Int64}),NS({below_to_ns:Int64})) AND kind IN (2,5)
