-- Is there a resource with this attribute? (Asked first: the index on spans is of no use beside an OR.)
SELECT count() FROM (SELECT 1 FROM resources
WHERE arrayExists((k,v)->k=unhex({key:String}) AND v=unhex({value:String}), mapKeys(attrs), mapValues(attrs)) LIMIT 1)
