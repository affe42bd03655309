"""What every deliverer must do, against real counterparts."""
