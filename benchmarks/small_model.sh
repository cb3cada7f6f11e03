# Sourced by roll_run.sh and arms.sh: the keys of every run with ROLL that begins with the shipped small model, as `small_model`.
# It knows one short system line and four kinds of request; its conversations end within 1024 tokens.
# shellcheck disable=SC2034
small_model=(
  pretrain=small
  task_source=generated
  'task_subset=single*cancellations+single*address+single*payment+single*profile'
  prompt_style=minimal
  max_turns=20
  sequence_length=1024
  train_env_manager.generating_args.max_new_tokens=160
  val_env_manager.generating_args.max_new_tokens=160
  val_env_manager.generating_args.temperature=1.0
  val_env_manager.group_size=1
  val_env_manager.num_env_groups=192
  val_batch_size=192
  actor_train.training_args.learning_rate=5.0e-5
  actor_train.training_args.warmup_steps=3
  actor_train.training_args.per_device_train_batch_size=16
  actor_train.training_args.gradient_accumulation_steps=4
  actor_train.infer_batch_size=32
  reference.infer_batch_size=32
)
