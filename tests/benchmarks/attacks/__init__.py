"""What attacks from outside cost another store's deliveries, and our processes' memory: `make attacks`.

`payloads` has the bytes, `clients` the ways to send them, `catalogue` the attacks and their pace, and `attacker` runs
them in a process of its own. `victim` is the store whose deliveries are measured, `stage` starts everybody, `contest`
measures, and `report` judges.
"""
