-- Names of services and their operations.
CREATE TABLE IF NOT EXISTS operations (received SAF(max,DT), service LC, name LC, kind UInt8) ENGINE=AggregatingMergeTree P ORDER BY (service,name,kind) SETTINGS W;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_operations TO operations AS
SELECT max(rc) AS received, service, name, kind
FROM (SELECT received AS rc, service, name, kind FROM red) GROUP BY service,name,kind;
