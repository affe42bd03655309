"""The worker: takes observed events, and sees every one of them delivered."""
