-- Keys of the attributes of some resources.
SELECT res_key, groupUniqArrayArray(mapKeys(attrs)) FROM resources WHERE res_key IN {resources:Array(UInt64)} GROUP BY res_key
