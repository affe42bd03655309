"""What attacks from outside cost another store's deliveries, and our processes' memory: `make attacks`.

`payloads` has the bytes, `clients` the ways to send them, `catalogue` the attacks and their pace, and `attacker` runs
them in a process of its own, with the receivers that flood (`hostile_receiver`, `hostile_broker`); `flooded` makes the
stores that send to these. `victim` is the store whose deliveries are measured, `stage` starts everybody, `contest`
measures, and `report` judges.
"""
