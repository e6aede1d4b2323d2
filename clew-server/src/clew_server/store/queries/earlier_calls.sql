-- Calls and failures of some operations in all that is stored before a time.
SELECT lower(hex(service)), lower(hex(name)), sum(red.n), sum(errors)
FROM red WHERE (service,name) IN OPERATIONS AND t<toDateTime({before_s:UInt32},'UTC') AND red.n>0 AND SPAN_CONDITIONS GROUP BY service, name
