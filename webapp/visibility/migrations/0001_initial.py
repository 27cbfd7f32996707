from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = [("auth", "0012_alter_user_first_name_max_length")]

    operations = [
        migrations.CreateModel(
            name="Restriction",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("experiment_name", models.CharField(max_length=500, unique=True)),
                ("groups", models.ManyToManyField(related_name="+", to="auth.group")),
            ],
        ),
    ]
