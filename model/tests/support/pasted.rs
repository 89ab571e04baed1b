#[test]
fn sr_off_003_gap() {
    let scenario = r###"{"name":"SR-OFF-003/gap (shrunk)","clause":"SR-OFF-003","about":"an offset that is not the next expected one is rejected, and the right chunk is taken","origin":"shrunk","steps":[{"step":"open"},{"step":"chunk","envelope":{"source_cluster_id":"prod","source_database_id":"db","snapshot_lsn":5,"total_bytes":8,"total_crc32c":177480119,"offset":0,"data":"YWJj","done":false}},{"step":"chunk","envelope":{"source_cluster_id":"prod","source_database_id":"db","snapshot_lsn":5,"total_bytes":8,"total_crc32c":177480119,"offset":4,"data":"ZQ==","done":false}}]}"###;
    snapshot_receiver_model::conform::rust::check_scenario(&|| Box::new(make()), scenario);
}
